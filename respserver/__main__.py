"""python -m respserver, and the console script vamana-server."""
import gc
import os
import sys

from . import cli, crash, server
from .config import Config, ConfigError
from .persistence import settings
from .persistence.snapshots import Blocked
from .state import Server


def main(arguments: list[str] | None = None) -> int:
    """Starts a server as the arguments say and returns the exit status when it has ended."""
    gc.disable()                                        # nothing that is imported is garbage: the keeper turns it on
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy multiplies no matrices here, but would start threads for it
    import commands
    arguments = sys.argv[1:] if arguments is None else arguments
    config = Config()
    try:
        path, options = cli.split_arguments(arguments)
        state = Server(config)
        commands.load(state)
        cli.apply(config, path, options)
        settings.set_save_points(config)
        server.prepare_dir(config)
        if config["daemonize"]:
            server.daemonize()
        server.set_up_logging(config)
        state.executable = os.path.abspath(sys.argv[0])
        state.ready()
        try:
            server.run(state)
        except (Blocked, ConfigError, KeyboardInterrupt):
            raise
        except Exception as error:
            crash.report(state, error)
            return 1
    except cli.Exit as wanted:
        print(wanted.text)
        return wanted.status
    except ConfigError as error:
        print(f"*** FATAL CONFIG FILE ERROR ***\n{error.name}: {error.text}", file=sys.stderr)
        return 1
    except Blocked as error:
        state.log.critical("Fatal error loading the data: %s. Exiting.", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
