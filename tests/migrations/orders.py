"""In which order the example's revisions and its code are deployed: on "" and, else, by server."""

from __future__ import annotations

from alembic_toolkit.prove.results import ANY_ORDER, DEPLOY_FIRST, MIGRATE_FIRST, NEITHER

ORDERS = {
    "0001": {"": MIGRATE_FIRST},
    "0002": {"": MIGRATE_FIRST},
    "0003": {"": MIGRATE_FIRST},
    "0004": {"": DEPLOY_FIRST},
    "0005": {"": MIGRATE_FIRST},
    "0006": {"": ANY_ORDER},
    "0007": {"": MIGRATE_FIRST},
    "0008": {"": DEPLOY_FIRST},
    # An upsert names its key there; on MariaDB and MySQL it does not.
    "0009": {"": MIGRATE_FIRST, "mariadb": ANY_ORDER, "mysql": ANY_ORDER},
    "0010": {"": MIGRATE_FIRST},
    "0011": {"": ANY_ORDER},
    "0012": {"": MIGRATE_FIRST},
    "0013": {"": NEITHER},
    "0014": {"": DEPLOY_FIRST},
}
