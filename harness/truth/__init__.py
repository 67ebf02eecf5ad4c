"""The truth server: a Triton gRPC server of our own that logs the instant at which it handed over every chunk.

It exists to be measured: a client's time stamps are compared with what was really sent. It computes no tokens and
models no engine; its timing comes from a seeded schedule (`behaviour`). It has its own HTTP/2, gRPC and protobuf
framing and imports nothing of `harness.protocols`: sharing code with the client under test would hide an error in it.
"""
