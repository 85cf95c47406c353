"""Matrix -> legs -> those that are chosen -> what their jobs need. Pure: nothing here reads, prints or asks anybody."""
