"""What moves files to other machines and starts processes there."""
