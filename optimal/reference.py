"""What is proven about an instance: the answer of ``optimal.solve``."""

from __future__ import annotations

from dataclasses import dataclass

from envs.distprivacy.types import Solution


@dataclass(frozen=True, slots=True)
class Reference:
    """The best known placement of an instance and how much is proven about it.

    Order of instances: rejections first, then the summed latency of the served requests.
    """

    objective_s: float | None  # summed latency of the served requests of ``solution``, as replayed
    bound_s: float | None  # proven lower bound on it, given the proven number of rejections
    gap: float | None  # (objective - bound) / objective; None where not comparable
    rejections: int | None
    rejections_bound: int  # proven least number of rejections
    status: str  # "optimal" (rejections proven, gap <= 1e-6), "feasible", "bound" (no solution)
    kind: str  # "optimum", "bound", "heuristic"
    seconds: float
    solver: str  # e.g. "highs 1.15.1"
    solution: Solution | None

    @classmethod
    def of(cls, solution: Solution) -> Reference:
        """The reference that a solution claims to be, all of whose claims are stated."""
        return cls(
            objective_s=solution.objective_s,
            bound_s=solution.bound_s,
            gap=solution.gap,
            rejections=solution.rejections,
            rejections_bound=solution.rejections_bound or 0,
            status=solution.status,
            kind="optimum" if solution.status == "optimal" else "heuristic",
            seconds=solution.seconds or 0.0,
            solver=solution.solver or "",
            solution=solution,
        )

    def claims(self) -> dict[str, float | int | str | None]:
        """Everything but the placement, as plain data: seconds, and names as in the fields."""
        return {
            "status": self.status,
            "kind": self.kind,
            "objective_s": self.objective_s,
            "bound_s": self.bound_s,
            "gap": self.gap,
            "rejections": self.rejections,
            "rejections_bound": self.rejections_bound,
            "seconds": self.seconds,
            "solver": self.solver,
        }
