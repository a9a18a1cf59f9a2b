"""What a format lacks, in words that it has: rewrites of a frozen graph before its conversion."""
