"""A kit whose module submits a job and waits for it while it is imported."""

from counting import Refuse, kit

kit.submit(Refuse()).result()
