"""The script of every fault: what is sent, and when, as steps that the engine takes one after the other."""
