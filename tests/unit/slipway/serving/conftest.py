from tests.support.s3_process import s3_process
from tests.support.threads import one_thread

__all__ = ["one_thread", "s3_process"]
