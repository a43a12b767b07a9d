"""What `csv_reader` reads a text table with: header, rows and columns, or a sequence per row."""
