"""What the network looks at, and what each of its parts is worth (the analyses of the paper)."""
