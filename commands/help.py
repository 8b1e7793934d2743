"""The HELP sub-command that every container of commands has."""
from respserver.protocol.reply import Simple
from respserver.registry import command


def declare_help(container: str, group: str, since: str, lines: tuple[str, ...], flags: str = "loading stale") -> None:
    """Declares `container HELP`, which answers Redis's frame around these lines."""
    text = [Simple(line) for line in (f"{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", *lines, "HELP",
                                      "    Print this help.")]

    @command(f"{container} HELP", arity=2, group=group, since=since, flags=flags, complexity="O(1)",
             summary="Returns helpful text about the different subcommands.",
             categories="-pubsub" if container == "PUBSUB" else "connection" if container == "COMMAND" else "")
    def help_(client):
        return text
