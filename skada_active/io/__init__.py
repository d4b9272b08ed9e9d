"""Files: fitted estimators, the journal of a session, and the fingerprint of its data."""
