from tests.stores.contract import SqlContract


class TestContract(SqlContract):
    """Over a file, memory and PostgreSQL: the `sql` fixture has a parameter for each."""
