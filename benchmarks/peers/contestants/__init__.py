"""What each library runs; a module a library. Each imports its library, and defines CONTESTANT."""
