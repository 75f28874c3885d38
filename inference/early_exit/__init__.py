"""Early-exit intrusion detection: from rows of flow statistics to what each exit of a network says (docs/inference.md)."""
