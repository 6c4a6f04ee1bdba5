"""The object that users hold; a folder each for flags, releases (`canary`) and experiments (`ab`) at work."""
