"""The commands of the command line, by topic; `shared` holds their common options and checks."""
