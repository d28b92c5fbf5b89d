"""Reports: `document` makes the JSON document that everything else is derived from."""
