"""One program a question, each against a peer in the same run; numbered as the targets of the design."""
