"""Reports: sections with tables and pictures, HTML pages, and plots of attributions."""
