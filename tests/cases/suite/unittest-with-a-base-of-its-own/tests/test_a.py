class T(base.StoreTestCase):
    pass
