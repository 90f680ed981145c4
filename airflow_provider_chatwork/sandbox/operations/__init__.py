"""The 32 operations as Chatwork carries them out: each a function of a context and the ids in its path."""
