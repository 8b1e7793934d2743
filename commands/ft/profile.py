"""FT.EXPLAIN, FT.EXPLAINCLI and FT.PROFILE."""
from respserver.registry import command

from .explain import explain, explain_lines
from .query import bind, check_yields, parse_query
from .search_options import parse_explain


def _tree(client, name: bytes, text: bytes, words: tuple):
    index = client.server.search.find(name)
    options = parse_explain(words, default_dialect=client.server.config["search-default-dialect"])
    stopwords = {} if index.options.stopwords is None else {"stopwords": index.options.stopwords}
    root = bind(parse_query(text, options.dialect, index.schema, **stopwords), options.params)
    check_yields(root, index.schema)
    return root


@command("FT.EXPLAIN", arity=-3, group="search", since="1.0.0", flags="readonly", summary="Returns the execution plan for a complex query", complexity="O(1)")
def ft_explain(client, name, text, *words):
    return explain(_tree(client, name, text, words))


@command("FT.EXPLAINCLI", arity=-3, group="search", since="1.0.0", flags="readonly", summary="Returns the execution plan for a complex query, line by line",
         complexity="O(1)")
def ft_explaincli(client, name, text, *words):
    return explain_lines(_tree(client, name, text, words))
