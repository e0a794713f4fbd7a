"""What a process owes its machine: locks, signals, a tidy end, repair after a kill, the disk."""
