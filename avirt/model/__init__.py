"""What all layers speak of: states, records, observations, changes. No I/O, no clock."""
