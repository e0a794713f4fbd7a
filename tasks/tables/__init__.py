"""The tables on disk: schema, storage, parameters, labels, the row cache and the SQL views."""
