#!/bin/sh
# The path of a newcomer, timed: from a fresh clone to the first map of an own table, with what the README says and nothing else.
# Run by `make newcomer`. Package caches are empty, as on a new machine.
set -eu
checkout=$(cd "$(dirname "$0")/../.." && pwd)
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
export HOME="$home"
unset PYTHONPATH MAKEFLAGS OPENBLAS_NUM_THREADS 2>/dev/null || true
cd "$home"

type_() { # a command line, as a newcomer types it
    before=$(date +%s)
    echo "\$ $1"
    eval "$1" >output 2>&1 || { cat output; echo "failed: $1"; exit 1; }
    echo "    $(($(date +%s) - before)) s"
}

uptime
type_ "git clone --quiet '$checkout' hattriq_cirq && cd hattriq_cirq"
type_ "make demo"
type_ ". .venv/bin/activate"
cat >plants.csv <<'TABLE'
height;leaf width;soil;watered;seen on;healthy
12,5;3,1;clay;yes;2024-03-01;yes
10,1;2,2;sand;no;2024-03-04;no
14,0;3,3;clay;yes;2024-03-02;yes
9,4;2,0;sand;no;2024-03-09;no
11,8;2,9;loam;yes;2024-03-03;yes
8,7;1,9;loam;no;2024-03-08;no
13,1;3,4;clay;yes;2024-03-01;yes
9,9;2,4;sand;yes;2024-03-07;no
12,2;3,0;loam;yes;2024-03-02;yes
10,6;2,1;sand;no;2024-03-06;no
13,7;3,2;clay;no;2024-03-03;yes
9,1;2,3;clay;no;2024-03-08;no
12,9;3,5;loam;yes;2024-03-01;yes
8,9;2,0;sand;no;2024-03-05;no
11,5;2,8;clay;yes;2024-03-04;yes
10,3;2,5;loam;no;2024-03-07;no
TABLE
type_ "hattriq explain plants.csv --out runs/why"
cat output
test -s runs/why/report.html
printf 'height;leaf width;soil;watered;seen on\n11,0;2,9;clay;yes;2024-03-02\n' >new.csv
type_ "hattriq explain runs/why new.csv"
uptime
times
