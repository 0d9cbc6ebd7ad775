"""A service that says that it is healthy, and does nothing: it starts in a few hundredths of a second."""

import socket
import sys

with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listening:
    while True:
        asked, _ = listening.accept()
        with asked:
            asked.recv(4096)
            asked.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n[]")
