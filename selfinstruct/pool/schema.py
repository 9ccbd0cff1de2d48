"""The tables of a pool. `docs/pool.md` describes them for readers with their own SQL."""

from __future__ import annotations

SCHEMA_VERSION = 19
"""A pool of another one is refused."""
_LAST = """
  SELECT x.task_id, i.position, MAX(x.event) AS event, e.kind
  FROM event_tasks x JOIN events e ON e.number = x.event
  LEFT JOIN instances i ON i.task_id = x.task_id AND COALESCE(x.position, i.position) = i.position
  WHERE e.kind IN ('remove', 'restore') AND e.number <= {event} GROUP BY x.task_id, i.position"""
"""The last event that took each row, by itself or with its task; SQLite gives the kind in the line of the maximum."""
REMOVED_ROWS = f"""
  SELECT task_id, position, event FROM ({_LAST}) WHERE kind = 'remove' AND position IS NOT NULL"""
"""The rows that are removed as of an event, those of removed tasks too."""
REMOVED = f"""
  SELECT last.task_id, MAX(last.event) AS event FROM ({_LAST}) last WHERE last.kind = 'remove' GROUP BY last.task_id
  HAVING COUNT(*) >= (SELECT COUNT(*) FROM instances n WHERE n.task_id = last.task_id)"""
"""The tasks that are removed as of an event: none of their rows stands."""
CORRECTED = """
  SELECT c.task_id, c.position, c.instruction, c.input, c.output, c.event
  FROM corrections c
  JOIN (SELECT task_id, position, MAX(event) AS event FROM corrections WHERE event <= {event} GROUP BY 1, 2) last
    ON (last.task_id, last.position, last.event) = (c.task_id, c.position, c.event)
  WHERE NOT EXISTS (SELECT 1 FROM event_tasks x JOIN events e ON e.number = x.event WHERE x.task_id = c.task_id
                    AND e.kind = 'revert' AND e.number > c.event AND e.number <= {event})"""
"""The rows that are corrected as of an event, each with the texts that it has."""
PREFERRED = """
  SELECT p.task_id, p.number, p.is_better, p.event
  FROM preferences p
  JOIN (SELECT task_id, number, MAX(event) AS event FROM preferences WHERE event <= {event} GROUP BY 1, 2) last
    ON (last.task_id, last.number, last.event) = (p.task_id, p.number, p.event)
  WHERE p.is_better IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM event_tasks x JOIN events e ON e.number = x.event WHERE x.task_id = p.task_id
    AND e.kind = 'revert' AND e.number > p.event AND e.number <= {event})"""
"""The other answers that people compared with the output, as of an event."""
_NOW = 2**63 - 1
TABLES = f"""
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
);
CREATE TABLE configurations (
  id       TEXT PRIMARY KEY,
  settings TEXT NOT NULL
);
CREATE TABLE runs (
  id         INTEGER PRIMARY KEY,
  started_at TEXT NOT NULL,
  ended_at   TEXT,
  host       TEXT NOT NULL,
  pid        INTEGER NOT NULL,
  goal       INTEGER,
  goal_rows  INTEGER,
  more       INTEGER,
  exit_code  INTEGER,
  outcome    TEXT,
  server_restarts INTEGER NOT NULL DEFAULT 0,
  by_batches      INTEGER NOT NULL DEFAULT 0,
  job             TEXT
);
CREATE TABLE rounds (
  number        INTEGER PRIMARY KEY,
  source        INTEGER NOT NULL,
  configuration TEXT NOT NULL REFERENCES configurations (id),
  run           INTEGER NOT NULL REFERENCES runs (id),
  state         TEXT NOT NULL CHECK (state IN ('planned', 'screening', 'settled')),
  last_event    INTEGER NOT NULL DEFAULT 0,
  steering      TEXT
);
CREATE TABLE dictionaries (
  number  INTEGER PRIMARY KEY,
  content BLOB NOT NULL
);
CREATE TABLE requests (
  number         INTEGER PRIMARY KEY,
  source         INTEGER NOT NULL,
  id             TEXT NOT NULL,
  stage          TEXT NOT NULL,
  round          INTEGER,
  task_id        TEXT,
  position       INTEGER NOT NULL,
  api            TEXT NOT NULL,
  model          TEXT NOT NULL,
  sampling       TEXT NOT NULL,
  messages       BLOB NOT NULL,
  schema         BLOB,
  demonstrations TEXT NOT NULL,
  state          TEXT NOT NULL CHECK (state IN ('open', 'answered', 'failed', 'superseded')),
  candidates     INTEGER,
  left_out       INTEGER NOT NULL DEFAULT 0,
  topic          TEXT,
  verbs          TEXT,
  source_name    TEXT,
  drawn          TEXT,
  UNIQUE (source, id)
);
CREATE INDEX requests_of_round ON requests (round) WHERE round IS NOT NULL;
CREATE INDEX requests_of_task ON requests (task_id) WHERE task_id IS NOT NULL;
CREATE TABLE completions (
  number            INTEGER PRIMARY KEY,
  source            INTEGER NOT NULL,
  request_id        TEXT NOT NULL,
  kind              TEXT NOT NULL CHECK (kind IN ('answer', 'failed')),
  text              TEXT NOT NULL,
  reasoning         TEXT NOT NULL,
  body              BLOB NOT NULL,
  finish_reason     TEXT NOT NULL,
  prompt_tokens     INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  cached_tokens     INTEGER NOT NULL,
  latency_s         REAL NOT NULL,
  endpoint          TEXT NOT NULL,
  sent              BLOB NOT NULL,
  run               INTEGER NOT NULL REFERENCES runs (id),
  received_at       TEXT NOT NULL,
  UNIQUE (source, request_id)
);
CREATE VIEW questions AS
  SELECT number, source, id, stage, round, task_id, position, api, model, sampling, unpacked(messages, '') AS messages,
    unpacked(schema, '') AS schema, demonstrations, state, candidates, left_out, topic, verbs, source_name, drawn
  FROM requests;
CREATE VIEW answers AS
  SELECT number, source, request_id, kind, text, reasoning, unpacked(body, text) AS body, finish_reason, prompt_tokens,
    completion_tokens, cached_tokens, latency_s, endpoint,
    unpacked(sent, '') AS sent, run, received_at
  FROM completions;
CREATE TABLE tasks (
  id                TEXT PRIMARY KEY,
  position          INTEGER NOT NULL UNIQUE,
  origin            TEXT NOT NULL CHECK (origin IN ('seed', 'generated')),
  state             TEXT NOT NULL CHECK (state IN ('pending', 'done', 'without_instances')),
  name              TEXT NOT NULL,
  instruction       TEXT NOT NULL,
  is_classification INTEGER,
  as_proposed       INTEGER,
  round             INTEGER,
  source            INTEGER,
  request_id        TEXT,
  request_position  INTEGER,
  model             TEXT,
  parents           TEXT NOT NULL,
  nearest_score     REAL,
  nearest_task      TEXT,
  mean_score        REAL,
  most_similar      TEXT,
  system            TEXT NOT NULL DEFAULT '',
  answer            TEXT NOT NULL DEFAULT '',
  constraints       TEXT NOT NULL DEFAULT '',
  demands           TEXT NOT NULL DEFAULT '',
  drawn             TEXT NOT NULL DEFAULT ''
);
CREATE INDEX tasks_pending ON tasks (position) WHERE state = 'pending';
CREATE TABLE instances (
  task_id          TEXT NOT NULL REFERENCES tasks (id),
  position         INTEGER NOT NULL,
  input            TEXT NOT NULL,
  output           TEXT NOT NULL,
  source           INTEGER,
  request_id       TEXT,
  request_position INTEGER,
  model            TEXT,
  reasoning        TEXT NOT NULL DEFAULT '',
  turns            TEXT NOT NULL DEFAULT '',
  ended            TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (task_id, position)
);
CREATE TABLE samples (
  task_id          TEXT NOT NULL REFERENCES tasks (id),
  number           INTEGER NOT NULL,
  source           INTEGER NOT NULL,
  request_id       TEXT NOT NULL,
  request_position INTEGER NOT NULL,
  of_request       TEXT NOT NULL,
  of_position      INTEGER NOT NULL,
  output           TEXT NOT NULL,
  step             TEXT NOT NULL,
  is_right         INTEGER,
  margin           REAL,
  PRIMARY KEY (task_id, number)
);
CREATE TABLE rejections (
  number           INTEGER PRIMARY KEY,
  kind             TEXT NOT NULL CHECK (kind IN ('instruction', 'instance')),
  reason           TEXT NOT NULL,
  source           INTEGER NOT NULL,
  request_id       TEXT NOT NULL,
  request_position INTEGER NOT NULL,
  round            INTEGER,
  task_id          TEXT,
  text             TEXT NOT NULL,
  input            TEXT NOT NULL,
  evidence         TEXT NOT NULL,
  score            REAL,
  nearest_task     TEXT,
  UNIQUE (source, request_id, request_position, kind)
);
CREATE TABLE waiting (
  source            INTEGER NOT NULL,
  request_id        TEXT NOT NULL,
  request_position  INTEGER NOT NULL,
  round             INTEGER NOT NULL,
  place             INTEGER NOT NULL,
  text              TEXT NOT NULL,
  is_classification INTEGER,
  answer            TEXT NOT NULL,
  PRIMARY KEY (source, request_id, request_position)
) WITHOUT ROWID;
CREATE INDEX waiting_of_round ON waiting (round, place);
CREATE TABLE attempts (
  id               INTEGER PRIMARY KEY,
  run              INTEGER NOT NULL REFERENCES runs (id),
  request          INTEGER NOT NULL REFERENCES requests (number),
  stage            TEXT NOT NULL,
  model            TEXT NOT NULL,
  reserved_tokens  INTEGER NOT NULL,
  reserved_usd_e12 INTEGER NOT NULL,
  tokens           INTEGER,
  usd_e12          INTEGER
);
CREATE TABLE endpoints (
  url          TEXT NOT NULL,
  model        TEXT NOT NULL,
  capabilities TEXT NOT NULL,
  PRIMARY KEY (url, model)
) WITHOUT ROWID;
CREATE TABLE events (
  number      INTEGER PRIMARY KEY,
  kind        TEXT NOT NULL CHECK (kind IN ('remove', 'restore', 'correct', 'revert', 'prefer')),
  reason      TEXT NOT NULL,
  condition   TEXT,
  descendants INTEGER NOT NULL,
  created_at  TEXT NOT NULL
);
CREATE TABLE event_tasks (
  event   INTEGER NOT NULL REFERENCES events (number),
  task_id TEXT NOT NULL REFERENCES tasks (id),
  position INTEGER,
  UNIQUE (event, task_id, position)
);
CREATE INDEX event_tasks_of_task ON event_tasks (task_id);
CREATE VIEW removed (task_id, event) AS {REMOVED.format(event=_NOW)};
CREATE VIEW removed_rows (task_id, position, event) AS {REMOVED_ROWS.format(event=_NOW)};
CREATE TABLE corrections (
  event       INTEGER NOT NULL REFERENCES events (number),
  task_id     TEXT NOT NULL REFERENCES tasks (id),
  position    INTEGER NOT NULL,
  instruction TEXT NOT NULL,
  input       TEXT NOT NULL,
  output      TEXT NOT NULL,
  PRIMARY KEY (event, task_id, position)
) WITHOUT ROWID;
CREATE VIEW corrected (task_id, position, instruction, input, output, event) AS {CORRECTED.format(event=_NOW)};
CREATE TABLE preferences (
  event     INTEGER NOT NULL REFERENCES events (number),
  task_id   TEXT NOT NULL REFERENCES tasks (id),
  number    INTEGER NOT NULL,
  is_better INTEGER,
  PRIMARY KEY (event, task_id, number)
) WITHOUT ROWID;
CREATE VIEW preferred (task_id, number, is_better, event) AS {PREFERRED.format(event=_NOW)};
CREATE TABLE verdicts (
  source           INTEGER NOT NULL,
  request_id       TEXT NOT NULL,
  request_position INTEGER NOT NULL,
  task_id          TEXT NOT NULL,
  judge_request    TEXT NOT NULL,
  outcome          TEXT NOT NULL,
  valid_score      INTEGER,
  valid_reason     TEXT NOT NULL,
  input_score      INTEGER,
  input_reason     TEXT NOT NULL,
  output_score     INTEGER,
  output_reason    TEXT NOT NULL,
  PRIMARY KEY (source, request_id, request_position)
) WITHOUT ROWID;
CREATE INDEX verdicts_of_task ON verdicts (task_id);
CREATE TABLE windows (
  first_round INTEGER NOT NULL,
  last_round  INTEGER PRIMARY KEY,
  screened    INTEGER NOT NULL,
  accepted    INTEGER NOT NULL,
  acceptance  REAL,
  nearest     REAL,
  openings    REAL,
  new_pairs   INTEGER NOT NULL,
  warnings    TEXT NOT NULL,
  level       INTEGER NOT NULL,
  distinct_1  REAL,
  distinct_2  REAL,
  compression_ratio REAL,
  verb_noun_entropy REAL,
  vendi_score       REAL
);
CREATE TABLE verb_nouns (
  verb  TEXT NOT NULL,
  noun  TEXT NOT NULL,
  tasks INTEGER NOT NULL,
  PRIMARY KEY (verb, noun)
) WITHOUT ROWID;
CREATE INDEX tasks_of_round ON tasks (round) WHERE round IS NOT NULL;
CREATE INDEX rejections_of_round ON rejections (round) WHERE kind = 'instruction';
CREATE TABLE exclusions (
  id    TEXT PRIMARY KEY,
  name  TEXT NOT NULL UNIQUE,
  rows  INTEGER NOT NULL,
  texts BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE passages (
  id       TEXT PRIMARY KEY,
  document TEXT NOT NULL,
  number   INTEGER NOT NULL,
  heading  TEXT NOT NULL,
  text     TEXT NOT NULL,
  given    TEXT NOT NULL DEFAULT '',
  more     TEXT NOT NULL DEFAULT '[]'
) WITHOUT ROWID;
CREATE TABLE passage_sets (
  id       TEXT PRIMARY KEY,
  passages TEXT NOT NULL
) WITHOUT ROWID;
"""
"""Each statement ends with `;` at the end of a line."""
