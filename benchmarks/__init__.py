"""Every performance claim has a script here that runs us and the peers in the same run, interleaved."""
