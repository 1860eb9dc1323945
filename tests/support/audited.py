"""A world to audit, and to break."""
import re

EXIT_WARNINGS, EXIT_CRITICAL = 10, 11
OTHER_TENANT = 987654321  # a tenant's id that nobody has


class Audited:
    """A world of this module's own, and the names in it."""

    def __init__(self, world):
        self.world, self.reeve = world, world.reeve
        self.names = {"tenant": OTHER_TENANT}
        for mode in ("row", "schema", "database"):
            world.orders(mode)
            for letter in "ab":
                place = world.placement(world.tenant(mode, letter))
                self.names |= {f"{mode}_{letter}": place["role"],
                               f"{mode}_{letter}_ro": place["ro_role"],
                               f"{mode}_{letter}_database": place["database"]}
                if mode == "schema":
                    self.names[f"schema_{letter}_id"] = world.reeve.query(
                        "SELECT tenant_id FROM reeve.placement WHERE id = %s", place["id"])[0][0]

    def text(self, text):
        """With {row_a} and the like filled in; other braces are SQL's."""
        return re.sub(r"\{(\w+)\}", lambda name: str(self.names[name[1]]), text)

    def run(self, database, text):
        with self.reeve.admin(self.text(database)) as admin:
            for statement in self.text(text).split(";;"):
                admin.execute(statement)

    def audit(self, *arguments, **options):
        options.setdefault("check", False)
        return self.reeve.cli("audit", *(arguments or ["--all"]), json=True, **options)

    def findings(self, *arguments, **options):
        return self.audit(*arguments, **options).json["findings"]

    def assert_sound(self, *arguments):
        result = self.audit(*arguments)
        assert [one for one in result.json["findings"] if one["severity"] != "info"] == []
        assert result.code == 0, result.text
