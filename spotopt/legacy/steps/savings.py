"""Savings as the old server reported them: wrong by construction, kept to be looked up, never added to the ledger."""

from analytics.models import ArchivedSavings
from spotopt.legacy.rows import Row, Skip
from spotopt.legacy.tables import Key, Owners, Table


class MonthlySavings(Table[ArchivedSavings]):
    label = name = "client_savings_monthly"
    columns = ("id", "client_id", "year", "month", "baseline_cost", "actual_cost", "savings", "computed_at")
    model = ArchivedSavings
    compared = ("baseline_usd", "actual_usd", "savings_usd")

    def prepare(self) -> None:
        self.owners = Owners()

    def convert(self, row: Row) -> ArchivedSavings:
        client = self.owners.client(row)
        year, month = row.number("year", minimum=2006, maximum=9999), row.number("month", minimum=1, maximum=12)
        if year is None or month is None:
            raise Skip("no month")
        return ArchivedSavings(
            client_id=client,
            period=f"{year}-{month:02}",
            baseline_usd=row.money("baseline_cost"),
            actual_usd=row.money("actual_cost"),
            savings_usd=row.money("savings"),
            computed_at=row.time("computed_at"),
        )

    def key_of(self, item: ArchivedSavings) -> Key:
        return item.client_id, item.period

    def existing(self, items: list[ArchivedSavings]) -> dict[Key, ArchivedSavings]:
        found = ArchivedSavings.objects.filter(client__in={item.client_id for item in items})
        return {self.key_of(item): item for item in found}


class TotalSavings(MonthlySavings):
    label = "clients.total_savings"
    name = "clients"
    columns = ("id", "total_savings")  # type: ignore[assignment]

    def convert(self, row: Row) -> ArchivedSavings:
        client = self.owners.client(row, "id")
        total = row.money("total_savings")
        if total is None:
            raise Skip("unknown")
        return ArchivedSavings(client_id=client, period=ArchivedSavings.TOTAL, savings_usd=total)
