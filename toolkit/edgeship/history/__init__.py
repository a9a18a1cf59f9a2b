"""Results of earlier sessions: kept on this machine, listed, compared with, drawn over time."""
