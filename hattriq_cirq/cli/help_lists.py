"""Lists of data sets, engines and mitigations for the help of several commands."""

DATA_SETS = """data sets, with options after a colon:
  bars_and_stripes  digits:pair=0/1  mnist:pair=3/5,size=16  tfim:n_qubits=8  planted_pixel  xor_pixels
  random_states:n_qubits=3,seed=1                             (dense states without a meaning)
  mnist_idx:path=FOLDER  fashion_mnist:path=FOLDER,pair=0/1   (your IDX files or .npz files)
  my.csv  my.tsv  my.txt  my.parquet  my.npz                  (your table with labels of two classes)
      my.csv:label_column=NAME,missing=impute,scale=minmax,constant=yes   (see docs/tables.md)
  FOLDER  image_folder:path=FOLDER,size=16                    (your images, in a folder for each of two classes)
  my.npy  my.npz  FOLDER                                      (rows or images without labels, which can be attributed)
  my.qasm:qubit_order=big-endian  my.json                     (a circuit of OpenQASM or Cirq that prepares a state of unknown
                                                              amplitudes, for `hattriq attribute`)"""
ENGINES = """engines:
  qsim  cirq                        simulators without noise on this machine
  virtual:PROCESSOR[,noise=NOISE]   a Google processor simulated from its calibration; PROCESSOR is willow_pink, weber,
                                    rainbow or a file that `hattriq snapshot` wrote (a DeviceSpecification file has no
                                    calibration: noise=none), and NOISE is calibrated (default), none, readout or gates.
                                    ,precision=float32 halves the time of density matrices.
                                    Noise beyond the calibration follows as ,EXTRA=NUMBER, once or several times:
      zz=ANGLE                      ZZ crosstalk of two-qubit gates with neighbours, radians, such as zz=0.05
      joint-readout=P               readout errors that flip the bits of two neighbours together
      conditional-readout=P         readout errors that flip a bit next to a 1
      loss=P                        loss of a qubit per two-qubit gate, which then reads 1
      scale=FACTOR                  all errors of the calibration times a factor
      drift=SHARE                   rotation angles off by up to this share after 10^6 shots of the run
      readout-drift=P               bits flipped with up to this probability after 10^6 shots of the run
  google:PROJECT/PROCESSOR          a real processor, for a Google Cloud project with access to it"""
MITIGATIONS = """mitigations, in any order, separated by commas:
  auto                        the correction with the smallest predicted error, or none; it stands alone
  known-answers               measure what the others leave, on circuits whose result is known, for the systematic errors
  readout[:SHOTS]             correct readout errors per qubit, by a calibration that is measured with the data (SHOTS shots
                              per state) or read from --calibration
  correlated-readout[:SHOTS]  correct readout errors per group of qubits
  twirled-readout[:MASKS]     correct readout errors by random bit flips before the measurement, also correlated errors
  zne                         extrapolate to zero gate noise
  twirl[:TWIRLS]              average over random Pauli frames of the two-qubit gates
  dd                          protect idle qubits by dynamical decoupling
  completeness                rescale each map to the measured difference between the scores of input and baseline
  noise-estimation            rescale each map by circuits whose ideal result is known"""
