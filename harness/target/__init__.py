"""The server under test: started here, or attached to; what it says it is; whether it is still alive."""
