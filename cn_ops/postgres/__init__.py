"""PostgreSQL: sessions, snapshots, dumps and restores. The only user of psycopg outside the demo node."""
