"""Reports: tables and pictures as values, HTML pages, and plots."""
