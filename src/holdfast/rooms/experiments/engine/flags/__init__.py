"""Flags at work: the rules of this process, the door, who is asked for what, what operators change."""
