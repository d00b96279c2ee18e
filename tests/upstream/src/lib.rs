//! A real HTTP server for tests and the demo: an API with a token, pages and idempotency keys.
