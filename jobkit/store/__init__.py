"""The store: what is kept in Valkey or Redis, the atomic scripts that change it, and the clients that ask."""
