"""What the network is trained on: windows cut from real and synthetic series."""
