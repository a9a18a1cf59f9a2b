"""What a latency would be where nobody measured: lower bounds from data sheets, and fits on the user's measurements."""
