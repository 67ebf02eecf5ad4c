"""Locust as the driver: its users execute the plan with our own protocol core on gevent sockets."""
