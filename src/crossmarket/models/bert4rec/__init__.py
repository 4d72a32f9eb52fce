"""BERT4Rec: a bidirectional transformer that fills in masked items of a history."""
