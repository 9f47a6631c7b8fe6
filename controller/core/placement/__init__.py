"""Where a corridor runs: routes, sizes and slots or lists, on one snapshot."""
