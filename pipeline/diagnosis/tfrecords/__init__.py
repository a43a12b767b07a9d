"""The traps of TFRecords that padless did not write."""
