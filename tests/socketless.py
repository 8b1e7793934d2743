"""What stands in for the event loop and a socket where a connection is tested without them."""


class Loop:
    """Keeps what is to be called with the next turn."""

    def __init__(self):
        self.calls = []

    def call_soon(self, function, *args):
        self.calls.append((function, args))

    def turn(self):
        calls, self.calls = self.calls, []
        for function, args in calls:
            function(*args)


class Transport:
    """Takes what is written; says whether it is read from."""

    def __init__(self):
        self.written = []
        self.reading = True
        self.closed = False

    def get_extra_info(self, name):
        return None

    def write(self, data):
        self.written.append(data)

    def writelines(self, parts):
        self.written += parts

    def close(self):
        self.closed = True

    abort = close

    def is_closing(self):
        return self.closed

    def pause_reading(self):
        assert not self.closed
        self.reading = False

    def resume_reading(self):
        assert not self.closed
        self.reading = True

    def get_write_buffer_size(self):
        return 0

    def set_write_buffer_limits(self, high):
        pass
