"""The 32 operations of the API. Each is a function of the request's context and the ids in its path."""
