"""The search module: FT.* and VAMANA.* commands over the hashes and JSON documents of database 0.

Where to begin: `index` has an index's documents and fields, `search` follows an FT.SEARCH from its words to its reply.

| job | modules |
|---|---|
| words to options | options, create_options, vector_options, search_options, aggregate_options, hybrid_options, specs, errors |
| query text to tree | lexer, query, tree, binding (its parameters), runtime (of vector clauses), explain |
| expressions of APPLY and FILTER | expr, functions, values, strptime |
| commands | admin, search, aggregate, hybrid, profile, info, cursor, suggest, words, legacy, config, debug, retrain, measure/ |
| indexes | manager (all of them), index (one), documents, sources, json_arrays, rule, fields/, text/, originals |
| tree to rows | plan, matches, plans (what is kept of them), score, explain_score, rescore, hybrid_lists |
| short ways for what is sent again | knn, lanes, text/hot, text/steps, hot_groups, pool (searches of one turn together) |
| aggregation | pipeline, grouping, reducers |
| rows to bytes | reply |
| what outlives the process | persist, images |
| in special cases | out_of_memory, complaints, flex, load_arguments, debug_dump, debug_timeout |
"""
#: 8.10.0, as MODULE LIST shows it.
VERSION = 81000


def load(server) -> None:
    """Adds the search module to a server that is not yet running: its directives, INFO sections, the keyspace listener
    and its threads.

    Imports happen here, so that the pure parts (the grammar) can be imported without the engine."""
    from respserver.modules import Module

    import native
    from native.loading import HashScanner
    from respserver.persistence import crc64, rdb_read

    from . import (admin, aggregate, config, cursor, debug, flex, hybrid, info, legacy,  # noqa: F401
                   load_arguments, persist, profile, retrain, search, suggest, words)
    from .manager import Manager
    from .measure import estimate, recall, tune  # noqa: F401
    config.register_directives()
    config.observe(server)
    manager = server.search = Manager(server)
    server.keeper.sources.append(persist.definitions)
    server.keeper.images = manager.images
    native.keep_from_children()
    crc64.use(native.crc64)
    rdb_read.use(HashScanner)
    server.modules.append(Module("search", VERSION, configure=lambda given: load_arguments.configure(server, given)))
    info.register_sections(server)
    server.acl.prefixes["search"] = manager.prefixes_used
    server.evictor.parts.append(lambda: sum(map(info.index_bytes, manager.indexes.values())))
    server.on_start.append(flex.install)
    server.on_start.append(lambda _: manager.start())
    server.on_stop.append(lambda _: manager.stop())
    server.add_periodic(0.25, manager.drop_idle)
    server.add_periodic(1, manager.cursors.collect)
    server.add_periodic(5, manager.log_progress)
    server.add_periodic(1, manager.measure_rescoring)
    server.add_periodic(5, lambda: recall.probe(manager))
    server.add_periodic(1, lambda: retrain.watch(manager))
    server.add_periodic(30, lambda: manager.collect(server.config["search-fork-gc-clean-threshold"]))
    server.add_periodic(1, manager.originals.compact)
    server.config.observe(config.ORIGINALS, manager.originals.set_default)
    for name in config.PLAN_DIRECTIVES:
        server.config.observe(name, lambda value: manager.forget_plans())
