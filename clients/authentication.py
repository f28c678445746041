class BearerAuthentication: pass
class StaffSessionAuthentication: pass
