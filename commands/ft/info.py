"""FT.INFO, and the search_* sections of INFO."""
import math

from respserver.protocol.reply import Pairs, Simple
from respserver.registry import COMMANDS, command

from . import errors
from .config import INFO_ON_ZERO
from .fields import CLASSES, ErrorCount, Field, GeoShapeField, TagField, VectorField
from .index import NARROW

_MB = 1 << 20


def _named(pairs) -> Pairs:
    """A map whose names are simple strings."""
    return Pairs([(Simple(name), value) for name, value in pairs])


def _text(value) -> Simple:
    return Simple(errors.show(value))


@command("FT.INFO", arity=2, group="search", since="1.0.0", flags="readonly",
         summary="Returns information and statistics on the index", complexity="O(1)")
def ft_info(client, name):
    index = client.server.search.find(name)
    proto = client.proto
    n_docs = len(index.docs)
    vector_bytes = sum(field.nbytes for field in index.vector_fields)
    tag_bytes = sum(field.nbytes for field in index.fields if type(field) is TagField)
    tag_names_bytes = sum(field.names_nbytes for field in index.fields if type(field) is TagField)
    shape_bytes = sum(field.nbytes for field in index.fields if type(field) is GeoShapeField)
    columns = [field for field in index.fields if type(field) not in (TagField, GeoShapeField, VectorField)]
    text_bytes = index.text.nbytes if index.text is not None else 0
    term_bytes = index.text.terms.nbytes if index.text is not None else 0
    place_bytes = index.text.place_nbytes if index.text is not None else 0
    # Columns have room for some documents before the first comes: that is in the total alone.
    inverted_bytes = (sum(field.nbytes for field in columns if field.n_values)
                      + sum(field.nbytes - field.names_nbytes for field in index.fields if type(field) is TagField
                            and field.n_values) + (text_bytes - term_bytes - place_bytes if n_docs else 0))
    sortable_bytes = sum(field.sortable_nbytes for field in index.fields)
    doc_bytes, key_bytes = index.docs.nbytes, index.docs.keys_nbytes
    total_bytes = (vector_bytes + tag_bytes + shape_bytes + sum(field.nbytes for field in columns) + text_bytes + sortable_bytes
                   + doc_bytes)
    records = float(index.n_records)
    cursors = client.server.search.cursors
    pairs = [
        ("index_name", _text(index.name)), ("index_options", _options(index)),
        ("index_definition", _definition(index.options)),
        ("attributes", [_attribute(client.server, field, proto) for field in index.fields]),
        ("num_docs", n_docs), ("max_doc_id", index.docs.max_doc_id),
        ("num_terms", index.text.n_terms if index.text is not None else 0), ("num_records", index.n_records),
        ("inverted_sz_mb", inverted_bytes / _MB), ("vector_index_sz_mb", vector_bytes / _MB),
        ("total_inverted_index_blocks", sum(len(field.postings) for field in index.fields if type(field) is TagField)),
        ("offset_vectors_sz_mb", place_bytes / _MB if n_docs else 0.0), ("doc_table_size_mb", (doc_bytes - key_bytes) / _MB),
        ("sortable_values_size_mb", sortable_bytes / _MB),
        ("key_table_size_mb", key_bytes / _MB), ("tag_overhead_sz_mb", tag_names_bytes / _MB),
        ("text_overhead_sz_mb", term_bytes / _MB),
        ("total_index_memory_sz_mb", total_bytes / _MB), ("geoshapes_sz_mb", shape_bytes / _MB),
        ("records_per_doc_avg", records / n_docs if n_docs else math.nan),
        ("bytes_per_record_avg", inverted_bytes / records if records else math.nan),
        ("offsets_per_term_avg", 0.0 if records else math.nan), ("offset_bits_per_record_avg", math.nan),
        ("hash_indexing_failures", index.errors.count), ("total_indexing_time", index.indexing_ns / 1e6),
        ("indexing", int(index.is_scanning)), ("percent_indexed", float(index.percent_indexed)),
        ("number_of_uses", index.n_uses), ("cleaning", 0), ("gc_stats", _gc(index)),
        ("cursor_stats", _named([("global_idle", cursors.n_open), ("global_total", cursors.n_open),
                                 ("index_capacity", client.server.config["search-index-cursor-limit"]),
                                 ("index_total", cursors.count(index))])),
    ]
    if index.origin:
        pairs.append(("index_image", index.origin))
    if index.options.stopwords is not None:
        pairs.append(("stopwords_list", sorted(index.options.stopwords)))
    pairs += [
        ("dialect_stats", _named([(f"dialect_{i}", int(n > 0)) for i, n in enumerate(index.dialect_uses, 1)])),
        ("Index Errors", Pairs([*_errors(index.errors), (Simple("background indexing status"), Simple("OK"))])),
        ("field statistics", [_statistics(field) for field in index.fields]),
    ]
    return _named(pairs)


def _options(index) -> list[Simple]:
    options = index.options
    is_wide = options.max_text_fields or sum(field.type_name == "TEXT" for field in index.fields) > NARROW
    flags = (("NOFREQS", options.no_freqs), ("NOFIELDS", options.no_fields), ("NOOFFSETS", options.no_offsets),
             ("NOHL", options.no_highlight or options.no_offsets),
             ("MAXTEXTFIELDS", is_wide))
    return [Simple(name) for name, is_on in flags if is_on]


def _definition(options) -> Pairs:
    pairs = [("key_type", Simple(options.on)), ("prefixes", [_text(prefix) for prefix in options.prefixes])]
    if options.filter is not None:
        pairs.append(("filter", _text(options.filter)))
    if options.language is not None:
        pairs.append(("default_language", Simple(options.language)))
    if options.language_field is not None:
        pairs.append(("language_field", _text(options.language_field)))
    pairs.append(("default_score", float(options.score)))
    if options.score_field is not None:
        pairs.append(("score_field", _text(options.score_field)))
    if options.payload_field is not None:
        pairs.append(("payload_field", _text(options.payload_field)))
    pairs.append(("indexes_all", Simple("true" if options.index_all else "false")))
    return _named(pairs)


# ------------------------------------------------------------------------------------------------------------
# attributes

def _attribute(server, field: Field, proto: int):
    spec = field.spec
    pairs = [("identifier", _text(field.path)), ("attribute", _text(field.name)), ("type", Simple(spec.type)),
             *_DETAILS[spec.type](field)]
    if type(field) is VectorField:
        place, n_bytes = server.search.originals.of_field(field)
        pairs += [("originals", Simple(place)), ("originals_disk_bytes", n_bytes)]
    flags = [Simple(name) for name in _flags(spec)]
    if proto == 3:
        return _named([*pairs, ("flags", flags)])
    return [word for name, value in pairs for word in (Simple(name), value)] + flags


def _flags(spec):
    if spec.type == "TAG" and spec.case_sensitive:
        yield "CASESENSITIVE"
    if spec.sortable:
        yield "SORTABLE"
        if spec.unf:
            yield "UNF"
    if spec.type == "TEXT" and spec.no_stem:
        yield "NOSTEM"
    if spec.no_index:
        yield "NOINDEX"
    if getattr(spec, "suffix_trie", False):
        yield "WITHSUFFIXTRIE"
    if getattr(spec, "index_empty", False):
        yield "INDEXEMPTY"
    if spec.index_missing:
        yield "INDEXMISSING"


def _nothing(field):
    return []


def _vector_details(field: VectorField) -> list:
    """Redis's pairs, then what this server adds: the window in use, what is trained and waits, how fast it goes."""
    spec = field.spec
    stats = field.engine.stats()
    pairs = [("algorithm", Simple(spec.algorithm)), ("data_type", Simple(spec.dtype)), ("dim", spec.dim),
             ("distance_metric", Simple(spec.metric))]
    if spec.algorithm == "FLAT":
        if spec.compression:
            pairs += [("compression", Simple(spec.compression)), ("training_threshold", spec.training_threshold),
                      ("effective_compression", Simple(stats["codec"])), ("trained", int(stats["is_trained"])),
                      ("training", Simple(_training(field, stats))), *_codes(spec, stats), *_rescoring(field.rescorer)]
        return pairs
    if spec.algorithm == "HNSW":
        pairs += [("M", spec.m), ("ef_construction", spec.ef_construction), ("ef_runtime", spec.ef_runtime)]
        if spec.compression:
            pairs += [("compression", Simple(spec.compression)), ("training_threshold", spec.training_threshold)]
    else:
        pairs += [("graph_max_degree", spec.graph_max_degree),
                  ("construction_window_size", spec.construction_window_size),
                  ("compression", Simple(spec.compression or "NO_COMPRESSION"))]
        if spec.compression:
            pairs.append(("training_threshold", spec.training_threshold))
        if (spec.compression or "").startswith("LeanVec"):
            reduced = spec.reduce or spec.dim // 2
            pairs += [("reduced_dim", reduced), ("reduce", reduced)]
    pairs += [("search_window_size", field.rescorer.plan(10, 0, None)[1] or stats["window"]), ("epsilon", float(spec.epsilon)),
              ("effective_compression", Simple(stats["codec"]))]
    if spec.compression:
        pairs += [("trained", int(stats["is_trained"])), ("training", Simple(_training(field, stats)))]
    if spec.compression:
        pairs += _codes(spec, stats)
        pairs += _rescoring(field.rescorer)
    if spec.target_recall or stats["is_calibrated"]:
        pairs.append(("target_recall", float(stats["target_recall"])))
    if stats["is_calibrated"]:
        # Measured against the codes; what is below is measured against the documents' own vectors.
        pairs.append(("window_recall", round(stats["window_recall"], 4)))
    pairs += field.estimate.pairs()
    waiting, rate = stats["n_tail"], stats["build_rate"]
    pairs += [("pending_vectors", waiting), ("build_rate", float(rate)),
              ("remaining_seconds", round(waiting / rate, 1) if waiting and rate else 0.0)]
    return pairs


def _training(field: VectorField, stats) -> str:
    return "running" if field.retraining is not None else stats["training"]


def _codes(spec, stats) -> list:
    """What the codes of a vector take, and how LeanVec's projection was learned (OOD is PCA until enough has been asked)."""
    pairs = [("bytes_per_vector", stats["code_bytes"] + stats["residual_bytes"])]
    if spec.compression.startswith("LeanVec"):
        pairs += [("reduction", Simple(spec.reduction or "PCA")), ("effective_reduction", Simple(stats["reduction"]))]
    return pairs + _drift(spec, stats)


def _drift(spec, stats) -> list:
    """How well the codes fit what has come since they were trained (drift: 1 is as then), and what they were trained on."""
    pairs = [("epoch", stats["n_epochs"]), ("vectors_since_training", stats["n_since_training"]),
             ("drift", round(stats["drift"], 3)),
             ("distance_error", round(stats["distance_error"] or stats["trained_error"], 5)),
             ("mean_shift", round(stats["mean_shift"], 3))]
    if stats["trained_energy"] >= 0:
        energy = stats["energy"] if stats["energy"] >= 0 else stats["trained_energy"]
        pairs += [("captured_energy", round(energy, 4)), ("captured_energy_trained", round(stats["trained_energy"], 4))]
    if spec.compression == "SQ8":
        pairs.append(("clip_rate", round(stats["clipped"], 6)))
    if stats["training"] == "running":
        pairs.append(("training_progress", round(stats["progress"], 3)))
    return pairs


def _rescoring(rescorer) -> list:
    """What RERANK is set to, and what that comes to for ten results: candidates scored again with the originals."""
    policy = rescorer.policy
    return [("rerank", Simple(policy) if type(policy) is str else policy),
            ("rerank_candidates", rescorer.plan(10, 0, None)[0]), ("rerank_measured", int(bool(rescorer.measured)))]


_DETAILS = {
    "TEXT": lambda field: [("WEIGHT", float(field.spec.weight))],
    "TAG": lambda field: [("SEPARATOR", _text(field.spec.separator))],
    "NUMERIC": _nothing,
    "GEO": _nothing,
    "GEOSHAPE": lambda field: [("coord_system", Simple(field.spec.coord_system))],
    "VECTOR": _vector_details,
}


# ------------------------------------------------------------------------------------------------------------
# statistics

def _errors(count: ErrorCount) -> list:
    return [(Simple("indexing failures"), count.count), (Simple("last indexing error"), Simple(errors.told(count.last_error))),
            (Simple("last indexing error key"), count.last_key)]


def _statistics(field: Field) -> Pairs:
    pairs = [("identifier", _text(field.path)), ("attribute", _text(field.name)),
             ("Index Errors", Pairs(_errors(field.errors)))]
    if type(field) is VectorField:
        stats = field.engine.stats()
        pairs += [("memory", field.nbytes), ("marked_deleted", stats["n_deleted"]), ("direct_hnsw_insertions", 0),
                  ("flat_buffer_size", stats["n_tail"]), ("backend_size", stats["n_linked"])]
    return _named(pairs)


def _gc(index) -> Pairs:
    cycles = index.gc_cycles
    return _named([("bytes_collected", float(index.gc_bytes)),
                   ("total_ms_run", index.gc_ns / 1e6), ("total_cycles", float(cycles)),
                   ("average_cycle_time_ms", index.gc_ns / 1e6 / cycles if cycles else math.nan),
                   ("last_run_time_ms", index.gc_last_ns / 1e6), ("gc_numeric_trees_missed", 0.0), ("gc_blocks_denied", 0.0)])


# ------------------------------------------------------------------------------------------------------------ INFO
# sections

#: Commands that are queries; FT.CURSOR READ goes on with one.
_QUERIES = (b"ft.search", b"ft.aggregate", b"ft.hybrid")


def index_bytes(index) -> int:
    """What an index holds, documents not counted."""
    return sum(field.nbytes + field.sortable_nbytes for field in index.fields) + index.docs.nbytes


def _version(server):
    yield "search_version", "8.10.0"
    yield "search_redis_version", "8.10.0 - oss"


def _indexes(server):
    indexes = server.search.indexes.values()
    scanning = sum(index.is_scanning for index in indexes)
    yield "search_number_of_indexes", len(indexes)
    yield "search_number_of_active_indexes", scanning
    yield "search_number_of_active_indexes_running_queries", 0
    yield "search_number_of_active_indexes_indexing", scanning
    yield "search_total_active_write_threads", scanning
    yield "search_total_indexing_time", sum(index.indexing_ns for index in indexes) / 1e6
    yield "search_total_num_docs_in_indexes", sum(len(index.docs) for index in indexes)
    for kind in CLASSES:
        # Of TEXT it is the words that were new.
        n = sum(index.n_operations(kind) for index in indexes)
        yield f"search_total_indexing_ops_{kind.lower()}_fields", server.search.n_puts.get(kind, 0) + n


def _field_counts(server):
    by_type: dict[str, list[Field]] = {}
    for index in server.search.indexes.values():
        for field in index.fields:
            by_type.setdefault(field.type_name, []).append(field)
    for kind, fields in by_type.items():
        parts = [f"{kind.capitalize()}={len(fields)}"]
        if kind == "VECTOR":
            for algorithm, name in (("FLAT", "Flat"), ("HNSW", "HNSW"), ("SVS-VAMANA", "SVS_VAMANA")):
                n = sum(field.algorithm == algorithm for field in fields)
                if n:
                    parts.append(f"{name}={n}")
            compressed = sum(field.spec.compression is not None for field in fields)
            if compressed:
                parts.append(f"SVS_VAMANA_Compressed={compressed}")
        else:
            counts = (("Sortable", sum(field.spec.sortable for field in fields)),
                      ("NoIndex", sum(field.spec.no_index for field in fields)),
                      ("CaseSensitive", sum(field.type_name == "TAG" and field.spec.case_sensitive for field in fields)))
            parts += [f"{label}={n}" for label, n in counts if n]
        parts.append(f"IndexErrors={sum(field.errors.count for field in fields)}")
        yield f"search_fields_{kind.lower()}", ",".join(parts)


def _memory(server):
    indexes = server.search.indexes.values()
    sizes = [index_bytes(index) for index in indexes]
    yield "search_used_memory_indexes", sum(sizes)
    yield "search_used_memory_indexes_human", round(sum(sizes) / _MB, 6)
    for name, size in (("smallest", min(sizes, default=0)), ("largest", max(sizes, default=0))):
        yield f"search_{name}_memory_index", size
        yield f"search_{name}_memory_index_human", round(size / _MB, 6)
    yield "search_used_memory_vector_index", sum(field.nbytes for index in indexes for field in index.vector_fields)


def _originals(server):
    """Of vectors on disk, which are there without an index, too."""
    stores = server.search.originals.stores.values()
    yield "search_originals_on_disk", sum(store.n_used for store in stores)
    yield "search_originals_disk_bytes", sum(store.file_bytes for store in stores)
    yield "search_originals_used_memory", sum(store.memory_bytes for store in stores)
    yield "search_originals_damaged", sum(store.n_damaged for store in stores)
    yield "search_originals_refused", server.search.originals.n_refused


def _collector(server):
    indexes = server.search.indexes.values()
    yield "search_gc_bytes_collected", sum(index.gc_bytes for index in indexes)
    yield "search_gc_total_cycles", sum(index.gc_cycles for index in indexes)
    yield "search_gc_total_ms_run", sum(index.gc_ns for index in indexes) // 1000000
    yield "search_gc_total_docs_not_collected", sum(index.n_stale for index in indexes)
    stats = [field.engine.stats() for index in indexes for field in index.vector_fields]
    yield "search_gc_marked_deleted_vectors", sum(one["n_deleted"] for one in stats)
    yield "search_hnsw_direct_main_thread_insertions", 0
    yield "search_tiered_index_frontend_buffer_size", sum(one["n_tail"] for one in stats)


def _queries(server):
    queries = [stats for name in _QUERIES if (stats := COMMANDS[name].stats) is not None]
    done = sum(stats.calls - stats.failed for stats in queries)
    cursors = server.search.cursors
    yield "search_total_queries_processed", done
    yield "search_total_query_commands", done + cursors.n_reads
    yield "search_total_query_execution_time_ms", (sum(stats.ns for stats in queries) + cursors.read_ns) / 1e6
    yield "search_total_active_queries", server.search.turns.n_pending
    turns = server.search.turns
    yield "search_engine_searches", turns.n_searches
    yield "search_engine_time_us", turns.search_ns / 1e3        # on the loop thread
    yield "search_engine_pool_jobs", turns.n_jobs_done
    yield "search_lane_clients", turns.lanes.n_clients
    yield "search_lane_searches", len(turns.lanes.roads)    # that lanes know
    yield "search_filter_bytes", sum(index.plans.n_bytes for index in server.search.indexes.values())


def _errors_and_warnings(server):
    counts = [index.errors.count for index in server.search.indexes.values()]
    yield "search_errors_indexing_failures", sum(counts)
    yield "search_errors_for_index_with_max_failures", max(counts, default=0)
    yield from server.search.complaints.fields("shard", False)


def _coordinator(server):
    yield from server.search.complaints.fields("coord", True)


def _dialects(server):
    for i in range(4):
        yield f"search_dialect_{i + 1}", int(any(index.dialect_uses[i] for index in server.search.indexes.values()))


def _settings(server):
    config = server.config
    for name, directive in (("concurrent_mode", None), ("enableGC", None), ("minimal_term_prefix", "search-min-prefix"),
                            ("minimal_stem_length", "search-min-stem-len"),
                            ("maximal_prefix_expansions", "search-max-prefix-expansions"),
                            ("query_timeout_ms", "search-timeout"), ("timeout_policy", "search-on-timeout"),
                            ("cursor_max_idle_time", "search-cursor-max-idle"),
                            ("max_doc_table_size", "search-max-doctablesize"),
                            ("max_search_results", "search-max-search-results"),
                            ("max_aggregate_results", "search-max-aggregate-results"), ("gc_scan_size", "search-gc-scan-size"),
                            ("min_phonetic_term_length", "search-min-phonetic-term-len"),
                            ("bm25std_tanh_factor", "search-bm25std-tanh-factor")):
        yield f"search_{name}", ("OFF" if name == "concurrent_mode" else "ON") if directive is None else config[directive]
    yield "search_info_on_zero_indexes", "ON" if config[INFO_ON_ZERO] else "OFF"


def _cursors(server):
    cursors = server.search.cursors
    yield "search_global_idle_user", cursors.n_idle
    yield "search_global_total_user", cursors.n_idle
    yield "search_global_idle_internal", 0
    yield "search_global_total_internal", 0


def _threads(server):
    turns = server.search.turns
    yield "search_active_worker_threads", min(turns.n_running, turns.n_threads)
    yield "search_active_coord_threads", 0
    yield "search_uv_threads_running_queries", 0
    yield "search_uv_threads_running_topology_update", 0
    yield "search_workers_low_priority_pending_jobs", server.search.n_waiting_vectors()
    yield "search_workers_high_priority_pending_jobs", turns.n_pending
    yield "search_workers_admin_priority_pending_jobs", 0


def _if_used(provider):
    """A section that is left out while there is no index, unless the configuration wants it."""
    def give(server):
        return provider(server) if server.search.indexes or server.config[INFO_ON_ZERO] else None
    return give


def register_sections(server) -> None:
    """Adds the sections to INFO."""
    for name, provider in (("search_version", _version), ("search_indexes", _indexes),
                           ("search_runtime_configurations", _settings), ("search_originals", _originals)):
        server.info.section(name, provider, False)
    for name, provider in (("search_fields_statistics", _field_counts), ("search_memory", _memory),
                           ("search_cursors", _cursors), ("search_garbage_collector", _collector),
                           ("search_queries", _queries), ("search_warnings_and_errors", _errors_and_warnings),
                           ("search_coordinator_warnings_and_errors", _coordinator), ("search_multi_threading", _threads),
                           ("search_dialect_statistics", _dialects)):
        server.info.section(name, _if_used(provider), False)
