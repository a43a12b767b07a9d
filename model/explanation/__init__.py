"""Why sequences are anomalous: what the score consists of, and where a sequence is at fault."""
